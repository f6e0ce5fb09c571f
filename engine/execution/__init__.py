"""Fills, costs and the blotter: one implementation for backtest and paper trading."""
