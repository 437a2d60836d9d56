"""What an optimizer solves and searches with: linear algebra, conjugate gradients, line searches."""
