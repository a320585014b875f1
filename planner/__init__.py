"""Plan mixture-of-experts serving and training at least total compute cost, with a proven bound beside every answer."""
