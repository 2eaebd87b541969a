"""What `odps.apis.storage_api_v2` does with the server: that of PyODPS 0.13.0, or ours beside a later one."""

import documented  # noqa: F401 - registers its behaviour
import reads  # noqa: F401 - registers its behaviours
import rest  # noqa: F401 - registers its behaviours
import sql  # noqa: F401 - registers its behaviours
import tunnel  # noqa: F401 - registers its behaviours
import tunnel_types  # noqa: F401 - registers its behaviours
import v2_access  # noqa: F401 - registers its behaviours
import v2_blobs  # noqa: F401 - registers its behaviours
import v2_exactly_once  # noqa: F401 - registers its behaviours
import v2_forms  # noqa: F401 - registers its behaviours
import v2_instances  # noqa: F401 - registers its behaviours
import v2_large_blobs  # noqa: F401 - registers its behaviours
import v2_reading  # noqa: F401 - registers its behaviours
import v2_upserts  # noqa: F401 - registers its behaviours
import v2_writing  # noqa: F401 - registers its behaviours
from behaviours import serve
from v2_tables import V2Table

import odps

if __name__ == "__main__":
    serve("v2" if odps.__version__ == "0.13.0" else "ours", V2Table)
