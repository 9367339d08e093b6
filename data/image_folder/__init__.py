"""Anyone's photos or video frames: to pre-train on and, where labelled, to fine-tune on."""
