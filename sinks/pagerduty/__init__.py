"""PagerDuty: pages, and what people do about them there."""
