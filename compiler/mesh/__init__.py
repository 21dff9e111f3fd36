"""Mesh: how a model lies on a mesh of ranks, checked before any rank is started."""
