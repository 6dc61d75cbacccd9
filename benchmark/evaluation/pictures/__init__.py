"""Anyone's images, as a person sees them: listed, divided, decoded, and told apart."""
