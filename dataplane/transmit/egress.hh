// The way out of a worker: limits, answers, next hop, transmit buffers. The pipeline calls these and nothing below them.
#pragma once
