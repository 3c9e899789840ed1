"""Bits to noise to pictures: the noise hook, models, training and sampling."""
