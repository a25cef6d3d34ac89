"""Which landmarks are kept per face, as indices into mediapipe's face mesh (478 points).

``MOUTH_POINTS`` is the order of the K points in every ``mouth`` array of the house.
"""

# Closed loops. Both start at the corner on the picture's left, then run along the lower lip to the
# right corner (index 10) and back along the upper lip; index 5 is the middle below, 15 above.
LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
# From the ear on the picture's left round the chin (152, the middle one) to the other ear.
JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
MOUTH_POINTS = LIPS_OUTER + LIPS_INNER + JAW

# The three alignment points are the mean of each group (MODEL: brows and lower nose).
LEFT_BROW = (70, 63, 105, 66, 107)
RIGHT_BROW = (300, 293, 334, 296, 336)
NOSE = (195, 4, 129, 358)
