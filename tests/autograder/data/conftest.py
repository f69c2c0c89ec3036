"""The sample labs are read by the tests, they are no tests themselves."""

collect_ignore_glob = ["lab_*"]
