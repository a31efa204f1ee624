"""Which latent distance, in which latent space, predicts the effect of adaptation."""
