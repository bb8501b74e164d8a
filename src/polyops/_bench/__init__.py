"""The benchmark behind `polyops bench`: shapes, calls, measurement, report, gate files."""
