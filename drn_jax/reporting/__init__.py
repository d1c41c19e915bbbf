"""What a run tells people and writes down: progress, TensorBoard, report.json."""
