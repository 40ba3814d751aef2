# SPDX-License-Identifier: Apache-2.0
"""`probed tail`: shows single events of a trace probe."""
