"""The files that pictures are made with: README.md says where they are from."""
