"""Which latent distance, in which latent space, tells what adaptation will do."""
