"""Whether a challenger becomes champion."""
