"""What requests cost at S3: list prices of us-east-1, S3 Standard, in USD, as of November 2026.

<https://aws.amazon.com/s3/pricing/>. Transfer into S3, and from it within a region, is free.
"""

# Per thousand requests.
PER_THOUSAND = {"puts": 0.005, "lists": 0.005, "gets": 0.0004, "heads": 0.0004, "deletes": 0.0}

GB_MONTH = 0.023


def of(requests):
    """USD for requests as our program counts them."""
    return sum(count * PER_THOUSAND[kind] / 1000 for kind, count in requests.items())
