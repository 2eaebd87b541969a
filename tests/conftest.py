"""What all tests share: the support of any test, the servers and clients of a run, the page's summary."""

pytest_plugins = ["tests.support", "tests.clients.fixtures", "tests.page.summary"]
