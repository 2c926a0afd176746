"""Inspecting where one machine ends, on engines that exist: Ray Data."""
