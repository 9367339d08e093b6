"""Measurements of an average right hand, in millimetres and degrees.

Hand frame: x radial (toward the thumb), y distal (toward the fingers), z palmar; the wrist at zero.
Digits are ordered thumb, index, middle, ring, little. Bone lengths: Buryanov and Kotiuk,
"Proportions of hand segments", International Journal of Morphology 28(3), 2010.
"""

import numpy as np

# Carpometacarpal joints, where every ray of the hand starts.
CARPOMETACARPAL = np.array(
    [[22.0, 22, 11], [9, 22, -1], [1.5, 24, -3], [-7, 22, -2], [-13, 18, 1]], np.float32
)
# Unit directions of the metacarpals; the thumb's is at rest.
METACARPAL_DIRECTION = np.array(
    [[0.62, 0.72, 0.32], [16, 66, 0.5], [2, 64.5, -1.5], [-9, 57, 0], [-18.5, 50, 3.5]], np.float32
)
METACARPAL_DIRECTION /= np.linalg.norm(METACARPAL_DIRECTION, axis=1, keepdims=True)
METACARPAL_LENGTH = np.array([46.22, 68.12, 64.60, 58.00, 53.69], np.float32)

# The three moving bones of every digit: thumb metacarpal, proximal and distal; finger proximal,
# middle and distal. The last ends at the skin, so it holds the soft tissue of the tip.
SOFT_TISSUE = np.array([5.67, 3.84, 3.95, 3.95, 3.73], np.float32)
BONE_LENGTH = np.array(
    [
        [46.22, 31.57, 21.67],
        [39.78, 22.38, 15.82],
        [44.63, 26.33, 17.40],
        [41.37, 25.65, 17.30],
        [32.74, 18.11, 15.96],
    ],
    np.float32,
)
BONE_LENGTH[:, 2] += SOFT_TISSUE

# Radius of the flesh at the four joints of every digit, palm to tip.
JOINT_RADIUS = np.array(
    [
        [14.0, 11.6, 10.2, 8.3],
        [11.2, 9.2, 8.0, 6.7],
        [11.4, 9.4, 8.2, 6.9],
        [10.8, 8.8, 7.7, 6.5],
        [9.6, 7.7, 6.8, 5.8],
    ],
    np.float32,
)
WRIST_RADIUS = 16.5

# Rest direction of the proximal phalanges (rotation about z, positive toward the little finger)
# and the roll of their palmar side, which makes bent fingers converge.
FINGER_FAN = np.array([-6.0, -0.5, 4.0, 11.0], np.float32)
FINGER_ROLL = np.array([0.06, -0.03, -0.12, -0.22], np.float32)
THUMB_PALMAR = np.array([-0.66, 0.30, 0.66], np.float32)
# How far the ring and little metacarpals follow a bent finger into the palm (mm a radian).
PALM_ARCH = np.array([0.0, 0.0, 0.0, 0.5, 1.5], np.float32)[:, None] * np.array(
    [0.0, -1.0, 4.0], np.float32
)

# Limits of the three flexions of every digit, of abduction (positive: little finger's side) and of
# the thumb's axial twist.
FLEXION_LIMITS = np.array(
    [[[-18, 34], [-8, 50], [-14, 64]]] + [[[-22, 88], [0, 108], [-6, 72]]] * 4, np.float32
)
ABDUCTION_LIMITS = np.array([[-18, 16], [-18, 12], [-12, 12], [-12, 14], [-12, 20]], np.float32)
TWIST_LIMITS = (-4.0, 39.0)
# Spread of the index to little finger at full abduction, and the link from PIP to DIP flexion.
FINGER_SPREAD = np.array([-11.0, -1.0, 7.0, 13.0], np.float32)
DIP_PER_PIP = 0.62
