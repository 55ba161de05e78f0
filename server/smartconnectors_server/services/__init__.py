"""gRPC services that are not a platform's."""
