"""What stands on which page of the site: each module makes pages of sections, and knows no HTML."""
