"""What a code space lets a user ask for: near an example, holding a hint, between draws, spread out."""
