"""What `odps.maxstorage` of PyODPS 0.13.2 does with the server."""

import ms_blobs  # noqa: F401 - registers its behaviours
import ms_blocks  # noqa: F401 - registers its behaviours
import ms_exactly_once  # noqa: F401 - registers its behaviours
import ms_instances  # noqa: F401 - registers its behaviours
import ms_large_blobs  # noqa: F401 - registers its behaviours
import ms_reading  # noqa: F401 - registers its behaviours
import ms_streaming  # noqa: F401 - registers its behaviours
import ms_upserts  # noqa: F401 - registers its behaviours
import ms_writing  # noqa: F401 - registers its behaviours
import reads  # noqa: F401 - registers its behaviours
import rest  # noqa: F401 - registers its behaviours
import sql  # noqa: F401 - registers its behaviours
import tunnel  # noqa: F401 - registers its behaviours
import tunnel_types  # noqa: F401 - registers its behaviours
from behaviours import serve
from ms_tables import MsTable

if __name__ == "__main__":
    serve("ms", MsTable)
