"""Every A-share rule: pure functions over dated tables. A rule is a row with a date and a source."""
