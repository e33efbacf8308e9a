"""Colour: OCIO spaces, Lab, chroma onto the plate, edge-aware upsampling."""
