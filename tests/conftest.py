"""Settings that hold for every suite."""

from hypothesis import HealthCheck, settings

# No test asserts how long something takes: a busy machine must not turn a suite red.
settings.register_profile("tarmak", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tarmak")
