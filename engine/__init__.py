"""The A-share engine: market rules, panels, pipeline, model, execution and reports for zipline."""
