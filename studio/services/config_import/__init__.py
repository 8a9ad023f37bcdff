"""Conversion of settings files of LLaMA-Factory and Axolotl."""
