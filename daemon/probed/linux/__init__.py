# SPDX-License-Identifier: Apache-2.0
"""System calls and files of the kernel that Python does not wrap."""
