"""What readers see of maintenance: nothing, except that old versions end."""

from behaviours import behaviour, failed, same
from tables import Changes, Split, batch, ids, listed


@behaviour()
def merged_files(context):
    table = context.made()
    versions = [table.version()]
    for number in range(12):
        table.write(batch(10 * number, 10), partition=f"pt={number % 2}")
        versions.append(table.version())
    table.write(batch(500, 5), partition="pt=1", overwrite=True)

    def shown(opened):
        return [listed(each.read()) for each in opened]

    since = Changes("append", versions[4], versions[9])
    sessions = [
        table.session(),
        table.session(split=Split("RowOffset"), where="id > 35"),
        table.session(changes=since),
        table.session(changes=Changes("cdc", versions[10])),
    ]
    rows = shown(sessions)
    context.server.maintain()
    same(table.session(files=1).splits, 2)  # one file a partition
    same(shown(sessions), rows)
    same(ids(table.read()), ids(sessions[0].read()))
    # A merge is no change, and what changed before it is still told version by version.
    same(ids(table.read(changes=since)), list(range(40, 90)))
    same(sorted(listed(table.read(changes=Changes("cdc", versions[10])))), sorted(rows[3]))
    same(ids(table.read(changes=Changes("append", None, versions[3]))), list(range(30)))
    quiet = table.version()
    context.server.maintain("--retention", "0")
    same(shown(sessions), rows)
    # The version of the last change has gone, and is as good as those after it.
    same(ids(table.read(changes=Changes("append", quiet))), [])
    for bad in (
        Changes("append", versions[4]),
        Changes("cdc", versions[10]),
        Changes(None, None, versions[3]),
        Changes(None, "2001-01-01 00:00:00"),
    ):
        failed(lambda: table.session(changes=bad), "VersionExpired", "expired", status=409)  # noqa: B023
    table.write(batch(910, 2), partition="pt=0")
    same(ids(table.read(changes=Changes("append", quiet))), [910, 911])
