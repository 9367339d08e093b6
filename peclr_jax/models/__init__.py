"""Networks: ResNet encoders, their heads, and weights from PyTorch."""
