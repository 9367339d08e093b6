"""What a hand is: its skeleton, and how a camera sees it."""
