"""What a pre-training run and a fine-tuning run share."""
