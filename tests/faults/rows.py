"""The faults that simlearn survives, and how: the one list, by number."""

ROWS = {
    1: "killed in the middle of a training, then resumed: the same weights to the last bit",
    2: "killed while a checkpoint is saved: the one before it is whole, and resumed from",
    3: "disk full while a checkpoint is saved: the old one stays, the new one may go elsewhere",
    4: "a folder of checkpoints that cannot be written: told at the start and at every save",
    5: "SIGTERM, SIGINT, SIGUSR1: saved at the next step, exit code 143 or 130",
    6: "a checkpoint that is truncated, empty or has one bit flipped: refused, a sound one named",
    7: "a checkpoint or an archive with code in it: refused, nothing is run",
    8: "a config that names foreign code, or is misspelt: nothing imported, the nearest name told",
    9: "a config key that has no effect: told",
    10: "a dataset that is truncated, changed, unfinished or of another schema: refused",
    11: "numbers that are none, channels that stand still, times that go back: found at load",
    12: "HDF5 that leads to other files, or claims to be huge: refused before it is read",
    13: "two processes write one file: the second is refused and hears of the first",
    14: "two trainings in one run folder: the second is refused or gets its own",
    15: "a generation that was killed: goes on, and ends with the same bytes",
    16: "a plugin that cannot be imported, or hangs: the others load, exit 4 only where needed",
    17: "a plugin that raises, or answers nonsense: named with its version and its method",
    18: "two plugins of one name: both named, DISTRIBUTION:NAME chooses",
    19: "a hook that is misspelt or of a newer simlearn: told, with the nearest name",
    20: "a loss that is no number, or explodes: a post-mortem, exit 5, never the best or the last",
    21: "a rollout that diverges: a value with step and row, the gate fails, averages stay numbers",
    22: "a worker process that is killed: told, with what to do about it",
    23: "a worker process that raises: told with the trajectory it was at",
    24: "too large for the memory: refused before it starts, with the estimate",
    25: "resumed with another code, config, data or plugin: told, and refused unless allowed",
    26: "files of an earlier release are read, those of a later one refused",
    27: "hardly any data or edges: a defined result, or a clear refusal",
    28: "odd clocks, languages, paths, no home, no network, no accelerator: all commands work",
    29: "a gate that misspells a check, a metric that is no number: exit 2, and the gate fails",
    30: "a baseline of other data, another seed or horizon: refused, with what differs",
}

# without one of these, a row is not shown: the others stand for a part of it
NEEDED = {
    3: ("test_a_full_disk_costs_no_checkpoint", "test_a_write_that_fails_leaves_the_old_file"),
    4: (
        "test_a_folder_that_is_closed_in_the_middle_is_no_silent_success",
        "test_a_file_system_that_turns_read_only_is_no_silent_success",
    ),
    8: ("test_spoilt_inputs_end_as_the_table_says",),
    12: ("test_spoilt_inputs_end_as_the_table_says",),
    15: ("test_a_killed_generation_goes_on_and_no_byte_differs",),
    26: ("test_data_and_archives_say_the_same_numbers",),
}
