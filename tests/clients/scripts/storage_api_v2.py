"""What `odps.apis.storage_api_v2` of PyODPS 0.13.0 does with the server."""

import rest  # noqa: F401 - registers its behaviours
import v2_access  # noqa: F401 - registers its behaviours
import v2_reading  # noqa: F401 - registers its behaviours
import v2_writing  # noqa: F401 - registers its behaviours
from behaviours import serve

if __name__ == "__main__":
    serve("v2")
