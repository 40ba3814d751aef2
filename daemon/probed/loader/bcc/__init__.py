# SPDX-License-Identifier: Apache-2.0
"""Loading of sources, which BCC compiles: the only folder that imports bcc."""
