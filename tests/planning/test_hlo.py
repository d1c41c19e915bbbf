"""Reading compiled programs: a short one, written by hand as the TPU compiler writes them."""

from drn_jax.planning import hlo
from drn_jax.planning.hlo import Collective, Operation

TEXT = """HloModule jit_step, is_scheduled=true, num_partitions=8

FileNames
1 "steps.py"

%region_1 (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  %b = f32[]{:T(128)} parameter(1)
  ROOT %add.1 = f32[]{:T(128)} add(%a, %b)
}

%fused_computation.1 (p: bf16[128,8]) -> bf16[128,8] {
  %p = bf16[128,8]{1,0:T(8,128)(2,1)} parameter(0)
  %inner = bf16[128,8]{1,0} negate(%p), backend_config={"estimated_cycles":"7"}
  ROOT %all-gather.9 = bf16[256,8]{1,0} all-gather(%inner), replica_groups=[4,2]<=[8], dimensions={0}
}

%body.2 (state: (s32[], f32[4])) -> (s32[], f32[4]) {
  %state = (s32[], f32[4]{0}) parameter(0)
  %in_loop = f32[4]{0} fusion(%state), kind=kLoop, calls=%fused_computation.3, metadata={op_name="jit(step)/transpose(jvp(while))/body/exp" stack_frame_id=4}, backend_config={"window_config":{"estimated_cycles":"10"}}
  ROOT %tuple = (s32[], f32[4]{0}) tuple(%state, %in_loop)
}

%cond.2 (state: (s32[], f32[4])) -> pred[] {
  %state.1 = (s32[], f32[4]{0}) parameter(0)
  %end = s32[]{:T(128)} constant(5)
  %counter = s32[]{:T(128)} get-tuple-element(%state.1), index=0
  ROOT %lt = pred[]{:T(512)} compare(%counter, %end), direction=LT
}

%body.3 (state: (s32[], f32[4])) -> (s32[], f32[4]) {
  %state.2 = (s32[], f32[4]{0}) parameter(0)
  ROOT %copied = (s32[], f32[4]{0}) copy(%state.2), backend_config={"estimated_cycles":"2"}
}

ENTRY %main.1 (param: bf16[128,8]) -> f32[] {
  %param = bf16[128,8]{1,0:T(8,128)(2,1)} parameter(0)
  %colors = f32[128]{0:T(128)} fusion(%param), kind=kLoop, calls=%fused_computation.0, metadata={op_name="jit(step)/augmentation/reduce_sum" stack_frame_id=2}, backend_config={"window_config":{"estimated_cycles":"100","iteration_bounds":["1"]}}
  %conv = (f32[16]{0:T(128)S(1)}, /*index=1*/bf16[8,4]{1,0:T(8,128)(2,1)}) fusion(%param), kind=kOutput, calls=%fused_computation.2, metadata={op_name="jit(step)/jvp(Network)/Network._last_level/Network.levels/level3/block0/conv1/conv1._product/conv_general_dilated" stack_frame_id=3}, backend_config={"window_config":{"estimated_cycles":"3000"}}
  %gradient = f32[3,3]{1,0} fusion(%conv), kind=kOutput, calls=%fused_computation.2, metadata={op_name="jit(step)/transpose(jvp(Network))/Network.levels/level3/block0/conv1/conv_general_dilated"}, backend_config={"window_config":{"estimated_cycles":"5000"}}
  %all-reduce.1 = (f32[16]{0:T(128)S(1)}, f32[16]{0:T(128)S(1)}) all-reduce(%gradient, %gradient), channel_id=2, replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, to_apply=%region_1, metadata={op_name="jit(step)/jvp(Network)/Network.levels/level3/block0/bn1/reduce_sum"}
  %gathering = bf16[256,8]{1,0} fusion(%param), kind=kCustom, calls=%fused_computation.1, metadata={op_name="jit(step)/jvp(Network)/Network.levels/stem/conv/conv_general_dilated"}, backend_config={"window_config":{"estimated_cycles":"40"}}
  %permute = (bf16[2,8]{1,0}, bf16[2,8]{1,0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%param), source_target_pairs={{0,1},{1,2}}
  %permuted = bf16[2,8]{1,0} collective-permute-done(%permute)
  %scattered = f32[2]{0} reduce-scatter(%gradient), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%region_1
  %loop = (s32[], f32[4]{0}) while(%param), condition=%cond.2, body=%body.2
  %known = (s32[], f32[4]{0}) while(%loop), condition=%cond.3, body=%body.3, backend_config={"known_trip_count":{"n":"7"}}
  ROOT %sum = f32[]{:T(128)} all-reduce(%loop), replica_groups={}, to_apply=%region_1, metadata={op_name="jit(step)/reduce_sum"}
}
"""  # noqa: E501


def test_operations_have_their_place_and_their_cycles():
    operations, _ = hlo.read(TEXT)
    assert operations == [
        Operation('colors', 'augmentation', False, 'reduce_sum', 100),
        Operation('conv', 'level3', False, 'block0/conv1/conv_general_dilated', 3000),
        Operation('gradient', 'level3', True, 'block0/conv1/conv_general_dilated', 5000),
        Operation('gathering', 'stem', False, 'conv/conv_general_dilated', 40),  # with its inside
        Operation('in_loop', 'other', True, 'transpose(jvp(while))/body/exp', 50),  # five times
        Operation('copied', 'other', False, '', 14),
    ]  # seven times


def test_collectives_have_their_bytes_and_groups():
    _, collectives = hlo.read(TEXT)
    assert collectives == [
        Collective('all-reduce', 2 * 16 * 4, 4, 1, 'level3'),
        Collective('all-gather', 256 * 8 * 2, 2, 1, 'other'),
        Collective('collective-permute', 2 * 8 * 2, 2, 1, 'other'),
        Collective('reduce-scatter', 4 * 2 * 4, 4, 1, 'other'),
        Collective('all-reduce', 4, 0, 1, 'other'),
    ]


def test_a_program_without_estimates_has_no_operations():
    assert hlo.read(
        'HloModule empty\n\nENTRY %main (a: f32[]) -> f32[] {\n  ROOT %a = f32[] parameter(0)\n}\n'
    ) == ([], [])
