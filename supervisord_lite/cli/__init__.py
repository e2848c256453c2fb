"""`supervisord-lite` and `slctl`: argv in, text out."""
