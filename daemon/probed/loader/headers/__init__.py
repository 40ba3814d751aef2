# SPDX-License-Identifier: Apache-2.0
"""The private folder of C headers that BCC compiles against."""
