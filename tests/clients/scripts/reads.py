"""What every client reads: registers the behaviours of the `reads_*` modules."""

import reads_addresses  # noqa: F401 - registers its behaviours
import reads_changes  # noqa: F401 - registers its behaviours
import reads_evolution  # noqa: F401 - registers its behaviours
import reads_maintenance  # noqa: F401 - registers its behaviours
import reads_predicates  # noqa: F401 - registers its behaviours
import reads_previews  # noqa: F401 - registers its behaviours
import reads_sessions  # noqa: F401 - registers its behaviours
import reads_splits  # noqa: F401 - registers its behaviours
import reads_types  # noqa: F401 - registers its behaviours
import reads_upserts  # noqa: F401 - registers its behaviours
