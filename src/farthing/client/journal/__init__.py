"""The journal: charges and settles that could not be delivered, kept on this machine until they can be.

| | |
| --- | --- |
| `lines` | a call as a line that tells by itself whether it is whole |
| `files` | files under a lock; what is written is on the disk, or is not there |
| `shelf` | what was refused for good and waits for a person: a file for each, in `parked/`; given up, in `dropped/` |
| `keeping` | the journal of a process: queued, replayed in order, taken over from processes that are gone |

A folder holds `<name>.journal` for each process. A process locks its file for as long as it lives, and only its owner
writes it; whoever can lock a file knows that its owner is gone, and takes its lines into a file of its own. It may
happen that a line is replayed twice; its key makes it once.
"""
