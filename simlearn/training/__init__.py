"""Objectives, stabilizers, the closed-form start, and the module that Lightning trains."""
