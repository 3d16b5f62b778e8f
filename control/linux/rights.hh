// Whether this process may do what sluiced cannot do without. Asked first, because the parts that need a right find its
// lack out one after the other, late, and each in its own words.
#pragma once

#include <cstdint>

#include "control/linux/kernel.hh"

namespace sluice {

/// The effective capabilities of the calling thread, a bit for each CAP_*; all of them when the kernel does not tell.
[[nodiscard]] std::uint64_t effective_capabilities();

/// What is missing in such a set: twins, routes and the guard all need CAP_NET_ADMIN.
[[nodiscard]] MaybeFailure missing_rights(std::uint64_t effective);

}  // namespace sluice
