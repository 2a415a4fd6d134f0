"""The same pipeline on AWS: a CDK app that reads the contracts. Nothing here is imported by the package itself."""
