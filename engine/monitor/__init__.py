"""What is watched beside the account: volatility, wrong choices, the signal itself. Pure, with frozen states."""
