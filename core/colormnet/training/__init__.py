"""Training: sequences from clips and photographs, the loop, its checkpoints and its validation."""
