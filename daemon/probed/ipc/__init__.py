# SPDX-License-Identifier: Apache-2.0
"""Messages, file descriptors and child processes between the three processes."""
