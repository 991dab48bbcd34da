"""The losses of the papers and of the autoencoder warm-up."""
