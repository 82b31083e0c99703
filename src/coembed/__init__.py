"""CoEmbed: many distinct, plausible fields for one photo, learned from scattered pairs."""
