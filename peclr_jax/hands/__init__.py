"""What a hand is: joints and their orders, metrics, scores."""
